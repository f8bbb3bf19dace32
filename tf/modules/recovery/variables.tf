variable "name" {
  description = "Name of the recovery environment and its cluster."
  type        = string
}

variable "link_name" {
  description = "Name of the cluster link at both ends, and of the exporter of schemas."
  type        = string
}

variable "cluster" {
  description = "Kind, place and size of the recovery cluster, in another region than the first."
  type = object({
    kind         = string
    availability = string
    cloud        = string
    region       = string
    cku          = optional(number)
  })

  validation {
    condition     = var.cluster.kind == "dedicated"
    error_message = "A cluster link ends at a Dedicated or an Enterprise cluster; this configuration makes dedicated ones. A Standard or Basic cluster can only be read from."
  }
}

variable "primary" {
  description = "The first region: output `place` of envs/prod."
  type = object({
    cluster = object({
      id                 = string
      kind               = string
      rbac_crn           = string
      rest_endpoint      = string
      bootstrap_endpoint = string
    })
    registry = object({
      id            = string
      rest_endpoint = string
    })
  })
}

variable "topics" {
  description = "The topics, in the form of tf/topics.json."
  type = map(object({
    subject        = optional(string)
    transactional  = bool
    partitions     = number
    retention_days = number
  }))
}

variable "groups" {
  description = "Consumer groups of the mirrored topics, whose positions are kept in step."
  type        = list(string)
}

variable "access" {
  description = "Who may do what, in the form of tf/access.json: the same as in the first region."
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

variable "pool_ids" {
  description = "The services' identity pools: output `pool_ids` of envs/prod. They are the organization's, so they outlive a region."
  type        = map(string)
}

variable "token" {
  description = "Where services get their tokens, and with which scope."
  type = object({
    url   = string
    scope = optional(string, "")
  })
}

variable "keys" {
  description = "Keys of the link's service account at both clusters and both registries; null until they can be made. They lie in the state."
  type = object({
    primary           = object({ key = string, secret = string })
    recovery          = object({ key = string, secret = string })
    primary_registry  = object({ key = string, secret = string })
    recovery_registry = object({ key = string, secret = string })
  })
  default   = null
  sensitive = true
}

variable "mirror_status" {
  description = "ACTIVE while the first region works; FAILED_OVER after it was given up, PROMOTED after a planned move."
  type        = string
  default     = "ACTIVE"

  validation {
    condition     = contains(["ACTIVE", "PAUSED", "FAILED_OVER", "PROMOTED"], var.mirror_status)
    error_message = "mirror_status is ACTIVE, PAUSED, FAILED_OVER or PROMOTED."
  }
}

variable "registry_mode" {
  description = "IMPORT while schemas are copied from the first region, READWRITE while this one registers them."
  type        = string
  default     = "IMPORT"

  validation {
    condition     = contains(["IMPORT", "READWRITE"], var.registry_mode)
    error_message = "registry_mode is IMPORT or READWRITE."
  }
}
