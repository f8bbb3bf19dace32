output "schemas" {
  description = "The version of each subject's schema in schemas/ that is the newest."
  value       = { for subject in local.subjects : subject => lookup(local.newest, subject, null) }

  precondition {
    condition     = length(local.strays) == 0
    error_message = "schemas/ holds <subject>/<version>.avsc and nothing else, with a version such as 1 or 12; this is something else: ${join(", ", local.strays)}."
  }
  precondition {
    condition     = length(local.missing) == 0
    error_message = "schemas/ has no version of ${join(", ", local.missing)}, which tf/topics.json names."
  }
}
