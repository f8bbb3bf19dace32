variable "access" {
  description = "Who may do what, in the form of tf/access.json."
  type = object({
    pools = list(object({
      pool      = string
      principal = string
      rules = list(object({
        resource   = string
        name       = string
        pattern    = string
        operations = list(string)
      }))
    }))
  })
}

variable "roles" {
  description = "What each role allows, in the form of tf/roles.json."
  type        = map(map(list(string)))
}

variable "topics" {
  description = "The topics that rules may name."
  type        = list(string)
}

variable "subjects" {
  description = "The subjects that rules may name."
  type        = list(string)
}

variable "pool_ids" {
  description = "The id of each identity pool, by its name in the access rules."
  type        = map(string)
}

variable "cluster" {
  description = "The cluster that the rules are about."
  type        = object({ id = string, rbac_crn = string })
}

variable "registry" {
  description = "The Schema Registry whose subjects the rules are about."
  type        = object({ resource_name = string })
}
