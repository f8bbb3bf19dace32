variable "topics" {
  description = "The topics, in the form of tf/topics.json."
  type = map(object({
    subject        = optional(string)
    partitions     = number
    retention_days = number
    tags           = list(string)
  }))

  validation {
    condition     = alltrue([for topic in values(var.topics) : topic.partitions >= 1 && topic.retention_days >= 1])
    error_message = "A topic has one partition or more, and keeps its records for a day or more."
  }
  validation {
    condition     = alltrue(flatten([for topic in values(var.topics) : [for tag in topic.tags : contains(keys(local.tags), tag)]]))
    error_message = "A topic has a tag that does not exist; there are ${join(", ", keys(local.tags))}, and another one is defined in modules/pipeline first."
  }
}

variable "schemas" {
  description = "The folder with <subject>/<version>.avsc."
  type        = string
}

variable "cluster" {
  description = "The cluster that gets the topics."
  type        = object({ id = string, rest_endpoint = string })
}

variable "registry" {
  description = "The Schema Registry that gets the schemas."
  type        = object({ id = string, rest_endpoint = string })
}
