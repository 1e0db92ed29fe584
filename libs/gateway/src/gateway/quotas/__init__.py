"""Quotas in tokens and requests: rules, windows, counters. Pure but for what stores the counters elsewhere.

subject ─ RuleSet ─▶ claims ─ Counters ─▶ counts ─▶ Verdict        at admission
answer ─ Estimator ─▶ Usage ─ RuleSet ─▶ amounts ─▶ Counters       at the end
"""
