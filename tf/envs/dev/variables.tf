# The same in dev, staging and prod, which scripts/check-terraform makes sure of.

variable "cloud" {
  description = "AWS, AZURE or GCP."
  type        = string
}

variable "region" {
  description = "The cloud's name for the region."
  type        = string
}

variable "issuer" {
  description = "Who signs the services' tokens: modules/identity says what each part means."
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
  description = "The build server as an issuer of tokens: modules/automation says what each part means. null makes service accounts."
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

variable "build_pool_id" {
  description = "The identity pool by which the build server applies this; null to use keys from the environment."
  type        = string
  default     = null
}

variable "build_token" {
  description = "The build server's own token, for build_pool_id. It is not written to state or plan."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}
