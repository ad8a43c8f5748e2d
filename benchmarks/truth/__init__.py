"""Are verdicts right? Small models whose truth is found by intervention: train on, add a unit, retrain the decoder."""
