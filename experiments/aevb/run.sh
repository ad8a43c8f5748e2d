vae-train -m experiment=aevb latent_dim=3,5,10,20 seed=0,1,2
