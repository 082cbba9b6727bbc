"""Reading results: stretches over time, tables in Parquet, SQL, and what the terminal shows."""
