vae-train -m experiment=decoder_variance likelihood.variance=0.005,0.01,0.02,0.05,0.1,0.2,0.5,2,5,10 seed=0,1,2
vae-train -m experiment=decoder_variance likelihood=gaussian_learned,gaussian_optimal,gaussian_per_pixel seed=0,1,2
