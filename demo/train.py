"""Trains a classifier of hand-written digits. Knows nothing of aseptic but two variables."""

import json
import os
from pathlib import Path

import joblib
import pandas
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

params = json.loads(Path(os.environ["ASEPTIC_PARAMS"]).read_text())
out = Path(os.environ["ASEPTIC_OUT"])

rows = pandas.concat([pandas.read_csv(path) for path in sorted(Path("/data/train").glob("*.csv"))])
pixels, digits = rows.drop(columns="digit"), rows["digit"]

model = SVC(C=params["C"], gamma=params["gamma"])
accuracy = cross_val_score(model, pixels, digits, cv=5).mean()
model.fit(pixels, digits)

joblib.dump(model, out / "model.joblib")
(out / "metrics.json").write_text(json.dumps({"rows": len(rows), "accuracy": round(accuracy, 4)}) + "\n")
print(f"trained on {len(rows)} digits; accuracy in cross-validation: {accuracy:.4f}")
