"""Webhooks: other people's servers that are asked about writes before they are stored.

Owns what ValidatingWebhookConfigurations and MutatingWebhookConfigurations mean: which requests they are about, the
AdmissionReview that is sent, what an answer means, and what happens when none comes. A hook that cannot be asked is
never passed by in silence: its failure policy refuses, or lets pass and counts.
Source: the dynamic admission control reference; admission.k8s.io/v1 and v1beta1.

Reading order: hooks (configurations to values), review (what is sent and what comes back), caller (how), plugins.
"""
