variable "cloud" {
  description = "AWS, AZURE or GCP."
  type        = string
}

variable "region" {
  description = "The cloud's name for the region; another one than production's."
  type        = string
}

variable "primary" {
  description = "Output `place` of envs/prod."
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

variable "pool_ids" {
  description = "Output `pool_ids` of envs/prod."
  type        = map(string)
}

variable "token" {
  description = "Where services get their tokens, and with which scope. The issuer has to outlive the first region too."
  type = object({
    url   = string
    scope = optional(string, "")
  })
}

variable "keys" {
  description = "Keys of the link's account, as in modules/recovery: by TF_VAR_keys, never in a file of the repository."
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
  description = "ACTIVE, PAUSED, FAILED_OVER or PROMOTED."
  type        = string
  default     = "ACTIVE"
}

variable "registry_mode" {
  description = "IMPORT or READWRITE."
  type        = string
  default     = "IMPORT"
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
