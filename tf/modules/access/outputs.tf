output "grants" {
  description = "The same as bindings, with the resource's own name (CRN) in this environment."
  value       = local.grants
}

output "bindings" {
  description = "What each pool was given: role and resource."
  value       = module.rules.bindings

  precondition {
    condition     = length(module.rules.problems) == 0
    error_message = "tf/access.json cannot be granted as it is:\n${join("\n", module.rules.problems)}."
  }
}
