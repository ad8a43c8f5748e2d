vae-train -m experiment=gradient_estimators estimator=pathwise,sticking_the_landing,score_function seed=0,1,2
vae-train -m experiment=gradient_estimators estimator=score_function estimator.baseline=leave_one_out seed=0,1,2
vae-train -m experiment=gradient_estimators objective=iwae estimator=pathwise,dreg,vimco seed=0,1,2
