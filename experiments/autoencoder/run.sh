vae-train -m experiment=autoencoder posterior=point seed=0,1,2
vae-train -m experiment=autoencoder posterior=constant_variance posterior.variance=1 kl_weight=0 seed=0,1,2
vae-train -m experiment=autoencoder posterior=constant_variance posterior.variance=0.1,1 seed=0,1,2
vae-train -m experiment=autoencoder kl_weight=0.01,1 seed=0,1,2
