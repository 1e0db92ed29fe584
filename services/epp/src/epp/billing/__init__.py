"""The bill: what each tenant used of each model on each day.

picker ─ BilledRequests ─▶ Sums ─ Biller ─▶ SQLite or Redis ─ /usage ─▶ report
"""
