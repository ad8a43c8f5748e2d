vae-train experiment=quick
