"""Job: pods that run to an end, as often as asked for, each counted once.

Owns: pods with a Job as controller, their finalizer batch.kubernetes.io/job-tracking, the Job's status.
Must never: count a pod twice or not at all, or run an index again that has succeeded.
Reading order: indexes, policies, backoff, facts (what the pods say), births (pods to make), verdict (whether it is
over), plan, controller.

How a pod is counted (KEP-2307): its uid is written into status.uncountedTerminatedPods (of an indexed Job's successes
the index into completedIndexes), then its finalizer goes, and once the cache shows that, the uid becomes a number. A
crash between any two steps repeats the step.
"""
