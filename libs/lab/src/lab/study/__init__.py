"""A question to the lab: which configurations, under which loads, with which seeds; and its answer in figures."""
