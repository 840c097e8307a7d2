"""Shared code of the two DAGs. Airflow adds the parent folder to the import path of workers and triggerer."""
