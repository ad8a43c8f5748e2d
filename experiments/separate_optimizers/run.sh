mistakes=experiments.separate_optimizers.mistakes
vae-train -m experiment=separate_optimizers optimizer=adam,separate seed=0,1,2
vae-train -m experiment=separate_optimizers optimizer=separate optimizer._target_=$mistakes.SecondLossAfterFirstStep seed=0,1,2
vae-train -m experiment=separate_optimizers optimizer=separate optimizer._target_=$mistakes.RareSteps +optimizer.slow=encoder,decoder +optimizer.every=5 seed=0,1,2
vae-train -m experiment=separate_optimizers estimator._target_=$mistakes.DetachedCodes seed=0,1,2
# Some of these leave the numbers, which is part of the finding.
vae-train -m experiment=separate_optimizers optimizer=separate optimizer._target_=$mistakes.ForgottenZeroGrad seed=0,1,2 || true
