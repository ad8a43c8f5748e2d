vae-train -m experiment=seed kl_weight=0.01,0.1,1 seed=0,1,2
