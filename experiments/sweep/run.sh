vae-train -m experiment=sweep kl_weight=0.01,0.1,0.5,1,2,4,7,10,20,100 beta_schedule=constant,cyclical_linear seed=0,1
