weights=0.001,0.01,0.1,0.5,1,2,4,7,10,20,40,100
vae-train -m experiment=kl_weight kl_weight=$weights beta_schedule=constant,cyclical_linear seed=0,1,2
vae-train -m experiment=kl_weight kl_weight=$weights beta_schedule=constant,cyclical_linear seed=0,1,2 likelihood=bernoulli data.binarize=dynamic
