"""What the two DAGs share. Airflow puts the folder above on the path of its workers and of its triggerer alike."""
