variable "name" {
  description = "Name of the environment, of its cluster, and the beginning of every other name in the organization."
  type        = string
}

variable "governance" {
  description = "Stream Governance package."
  type        = string
}

variable "cluster" {
  description = "Kind, place and size of the cluster."
  type = object({
    kind         = string
    availability = string
    cloud        = string
    region       = string
    cku          = optional(number)
  })
}

variable "protected" {
  description = "Whether Confluent Cloud refuses to delete the cluster."
  type        = bool
}

variable "issuer" {
  description = "Who signs the services' tokens, as in modules/identity."
  type = object({
    url      = string
    jwks_uri = string
    audience = string
    claim    = optional(string, "sub")
    claims   = optional(map(string), {})
  })
}

variable "token" {
  description = "Where services get their tokens, and with which scope."
  type = object({
    url   = string
    scope = optional(string, "")
  })
}

variable "federation" {
  description = "The build server as an issuer of tokens, as in modules/automation; null for service accounts."
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
}
