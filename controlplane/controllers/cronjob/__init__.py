"""CronJob: a Job at each of the times that a schedule names.

Owns: Jobs with a CronJob as controller (their making, and their going by history or replacement), the CronJob's status.
Must never: start two Jobs for one time.
Reading order: schedule, plan, controller.
"""
