vae-train -m experiment=beta_schedule kl_weight=4,7 beta_schedule=constant seed=0,1,2
vae-train -m experiment=beta_schedule kl_weight=4,7 beta_schedule=linear,cosine,cyclical_linear,cyclical_cosine,cyclical_sigmoid beta_schedule.length='10 epochs' seed=0,1,2
vae-train -m experiment=beta_schedule kl_weight=4,7 beta_schedule=sigmoid beta_schedule.midpoint='5 epochs' beta_schedule.width='10 epochs' seed=0,1,2
vae-train -m experiment=beta_schedule kl_weight=1 beta_schedule=geco beta_schedule.target_distortion=480,486 seed=0,1,2
vae-train -m experiment=beta_schedule kl_weight=50 beta_schedule=control_vae beta_schedule.target_kl=3,5 seed=0,1,2
