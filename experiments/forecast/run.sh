# Weights are 0.3, 0.6, 0.9 and 1.1 of the onset that vae-forecast tells.
vae-train -m experiment=forecast kl_weight=3.1,6.1,9.2,11.3 seed=0,1,2
