vae-train -m experiment=loss_reduction likelihood.variance=0.5 kl_weight=0.01,0.1,0.784,1,7.84,78.4 seed=0,1,2
vae-train -m experiment=loss_reduction likelihood.variance=392 kl_weight=0.001,0.01,0.1,1 seed=0,1,2
