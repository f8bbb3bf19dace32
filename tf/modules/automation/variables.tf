variable "name" {
  description = "Begins the names of accounts and pools."
  type        = string

  validation {
    condition     = length("${var.name}-schema-gate") <= 64
    error_message = "A service account's name has 64 characters at most: name may have ${64 - length("-schema-gate")}."
  }
}

variable "subject_prefix" {
  description = "How the names of all subjects of the pipeline begin."
  type        = string
}

variable "environment" {
  description = "The environment that Terraform looks after."
  type        = object({ resource_name = string })
}

variable "registry" {
  description = "The Schema Registry of the environment."
  type        = object({ resource_name = string })
}

variable "operator" {
  description = "What the operator of tf/access.json may, besides subjects, each by a name of its own: a promotion asks what an operator would ask."
  type        = map(object({ role = string, crn = string }))
}

variable "federation" {
  description = "The build server as an issuer of tokens, with the `sub` that a job of each duty has; null for service accounts with keys."
  type = object({
    issuer   = string
    jwks_uri = string
    audience = string
    subjects = object({
      schema-gate = string
      promotion   = string
      terraform   = string
    })
  })
  default = null

  validation {
    # A subject that covers a whole repository would let a pull request apply.
    condition     = var.federation == null ? true : length(distinct(values(var.federation.subjects))) == length(values(var.federation.subjects))
    error_message = "Each duty of federation.subjects has a sub of its own; one that several jobs share gives each of them the rights of all."
  }
  validation {
    condition     = var.federation == null ? true : !anytrue([for text in concat([var.federation.audience], values(var.federation.subjects)) : can(regex("[\"\\\\]", text))])
    error_message = "federation.audience and federation.subjects hold no quotation marks or backslashes, because they become part of the pools' filters."
  }
}
