"""Runnable experiments: each study is a frozen spec and `run()`; `gwt reproduce` drives them."""
