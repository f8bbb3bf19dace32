variable "name" {
  description = "The environment, for the reader of a file."
  type        = string
}

variable "principals" {
  description = "The client id of each service, by the name of its identity pool."
  type        = map(string)
}

variable "pool_ids" {
  description = "The id of each identity pool, by its name."
  type        = map(string)
}

variable "builders" {
  description = "The id of the identity pool of each of the build server's jobs, by its duty."
  type        = map(string)
  default     = {}
}

variable "token" {
  description = "Where services get their tokens, and the scope they ask for, if any."
  type = object({
    url   = string
    scope = optional(string, "")
  })

  validation {
    condition     = startswith(var.token.url, "https://")
    error_message = "token.url begins with https://: the clients' secrets go there."
  }
}

variable "cluster" {
  description = "The cluster to connect to."
  type        = object({ id = string, bootstrap_endpoint = string })
}

variable "registry" {
  description = "The Schema Registry to ask."
  type        = object({ id = string, rest_endpoint = string })
}
