"""The lab: traffic on simulated model servers in virtual time, under configurations of the real picker."""
