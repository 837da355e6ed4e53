"""Writes two public data sets as files: the UCI digits as CSV, the Palmer penguins as Parquet."""

from pathlib import Path

import palmerpenguins
import pandas
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

ROWS_PER_FILE = 500

data = Path("data")
digits = load_digits(as_frame=True).frame.rename(columns={"target": "digit"})
train, test = train_test_split(digits, test_size=0.2, stratify=digits["digit"], random_state=0)
for name, rows in {"digits-train": train, "digits-test": test}.items():
    directory = data / name
    directory.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(rows), ROWS_PER_FILE):
        part = rows.iloc[start : start + ROWS_PER_FILE]
        part.to_csv(directory / f"part-{start // ROWS_PER_FILE}.csv", index=False)
    print(f"{directory}: {len(rows)} digits of 8 by 8 pixels")

penguins: pandas.DataFrame = palmerpenguins.load_penguins()
penguins.to_parquet(data / "penguins.parquet", index=False)
print(f"{data / 'penguins.parquet'}: {len(penguins)} penguins")
