vae-train -m experiment=remedies kl_weight=15,40 seed=0,1,2
vae-train -m experiment=remedies kl_weight=15,40 seed=0,1,2 beta_schedule=linear,cyclical_linear
vae-train -m experiment=remedies kl_weight=15,40 seed=0,1,2 objective=free_bits,capacity,mmd,iwae
vae-train -m experiment=remedies kl_weight=15,40 seed=0,1,2 posterior=batch_norm,full_covariance
vae-train -m experiment=remedies kl_weight=15,40 seed=0,1,2 model=mlp_skip
vae-train -m experiment=remedies kl_weight=15,40 seed=0,1,2 optimizer=aggressive
