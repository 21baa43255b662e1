"""The comparison of servers under loads like real sites': who takes part, in which scenario, and what came out."""
