"""Duplicates removed and usage added up by PySpark, on two cores: what `bench.billing` compares with.

Run by the environment of bench.lock: `python spark_usage.py RESULT FILE...`; prints the seconds of the work, without
the start of Spark.
"""

import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as f


def main(result: str, files: list[str]) -> None:
    """Read the files, drop repeated ids of a month, add up by tenant, day and driver, write the result."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.memory", "5g")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "16")
        .config("spark.local.dir", result + ".spill")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    spark.range(10).count()
    started = time.perf_counter()
    events = spark.read.parquet(*files).where(f.col("cancels_event_id").isNull())
    month, day = f.trunc(f.col("occurred_at"), "month"), f.to_date(f.col("occurred_at"))
    (
        events.withColumn("month", month)
        .dropDuplicates(["tenant_id", "event_id", "month"])
        .groupBy("tenant_id", day.alias("usage_date"), "driver_key")
        .agg(f.sum("quantity").alias("quantity"), f.count(f.lit(1)).alias("events"))
        .write.parquet(result)
    )
    print(time.perf_counter() - started)
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
