variable "name" {
  description = "Name of the environment and of the cluster."
  type        = string
}

variable "governance" {
  description = "Stream Governance package."
  type        = string

  validation {
    condition     = contains(["ESSENTIALS", "ADVANCED"], var.governance)
    error_message = "governance is ESSENTIALS or ADVANCED."
  }
}

variable "cluster" {
  description = "Kind, place and size of the cluster. cku is for dedicated clusters alone."
  type = object({
    kind         = string
    availability = string
    cloud        = string
    region       = string
    cku          = optional(number)
  })

  validation {
    condition     = var.cluster.kind != "basic"
    error_message = "A Basic cluster has no role bindings on topics, groups, transactional ids or subjects, so it cannot keep the services apart; take standard or dedicated."
  }
  validation {
    condition     = contains(["basic", "standard", "dedicated"], var.cluster.kind)
    error_message = "cluster.kind is standard or dedicated. Enterprise and Freight clusters are reached by private networks alone, which are not made here."
  }
  validation {
    condition     = contains(["SINGLE_ZONE", "MULTI_ZONE"], var.cluster.availability)
    error_message = "cluster.availability is SINGLE_ZONE or MULTI_ZONE."
  }
  validation {
    condition     = (var.cluster.kind == "dedicated") == (var.cluster.cku != null)
    error_message = "A dedicated cluster has a cku, and no other kind has."
  }
  validation {
    condition     = !(var.cluster.kind == "dedicated" && var.cluster.availability == "MULTI_ZONE" && coalesce(var.cluster.cku, 0) < 2)
    error_message = "A dedicated cluster in several zones has 2 CKU or more."
  }
}

variable "protected" {
  description = "Whether Confluent Cloud refuses to delete the cluster until this is set to false and applied."
  type        = bool
}
