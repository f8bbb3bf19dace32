variable "name" {
  description = "Begins the names of the provider and the pools, which the organization sees beside those of other environments."
  type        = string
}

variable "issuer" {
  description = "Who signs the tokens. `claim` tells principals apart; where its value is not the principal's name (Entra ID and Keycloak have an id of their own making there), `claims` maps one to the other."
  type = object({
    url      = string
    jwks_uri = string
    audience = string
    claim    = optional(string, "sub")
    claims   = optional(map(string), {})
  })

  validation {
    condition     = startswith(var.issuer.url, "https://") && startswith(var.issuer.jwks_uri, "https://")
    error_message = "issuer.url and issuer.jwks_uri begin with https://, and Confluent Cloud has to reach the second from the internet."
  }

  validation {
    condition     = can(regex("^[A-Za-z_][A-Za-z0-9_]*$", var.issuer.claim)) && !anytrue([for text in concat([var.issuer.audience], values(var.issuer.claims)) : can(regex("[\"\\\\]", text))])
    error_message = "issuer.claim is a claim's name such as sub or azp; audience and the values of claims hold no quotation marks or backslashes, because they become part of the pools' filters."
  }
}

variable "principals" {
  description = "The principal of each pool, by the pool's name."
  type        = map(string)
}
