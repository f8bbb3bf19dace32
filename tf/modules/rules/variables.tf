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
  description = "What each role of Confluent Cloud allows: role, type of resource, operations; in the form of tf/roles.json."
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
