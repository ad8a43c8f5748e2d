vae-train -m experiment=linear_theory likelihood.mean=identity likelihood.variance=1 optimizer.lr=0.01 kl_weight=0.1,0.3,0.7,1.5,3,5,7,10 seed=0,1,2
vae-train -m experiment=linear_theory likelihood=gaussian_learned likelihood.mean=identity optimizer.lr=0.01 latent_dim=1,2,3,4,5,6,7 seed=0,1,2
