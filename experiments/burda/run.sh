vae-train -m experiment=burda optimizer.eps=1e-4 objective=elbo seed=0,1,2,3,4
vae-train -m experiment=burda optimizer.eps=1e-4 objective=iwae objective.n_samples=5 seed=0,1,2,3,4
vae-train -m experiment=burda optimizer.eps=1e-4 objective=iwae objective.n_samples=50 estimator=pathwise seed=0,1,2
