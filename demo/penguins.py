"""Tells the three species of Palmer penguins apart by four measurements."""

import json
import os
from pathlib import Path

import pandas
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MEASUREMENTS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]

params = json.loads(Path(os.environ["ASEPTIC_PARAMS"]).read_text())
rows = pandas.read_parquet("/data/penguins/penguins.parquet").dropna(subset=MEASUREMENTS)
folds = StratifiedKFold(params["folds"], shuffle=True, random_state=params["seed"])
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
accuracy = cross_val_score(model, rows[MEASUREMENTS], rows["species"], cv=folds).mean()

metrics = {"rows": len(rows), "accuracy": round(accuracy, 4)}
(Path(os.environ["ASEPTIC_OUT"]) / "metrics.json").write_text(json.dumps(metrics) + "\n")
print(f"accuracy on {len(rows)} penguins in cross-validation: {accuracy:.4f}")
