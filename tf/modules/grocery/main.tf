# One whole environment: place, pipeline, identities, access, and who works on it.

locals {
  folder     = "${path.module}/../.."
  access     = jsondecode(file("${local.folder}/access.json"))
  roles      = jsondecode(file("${local.folder}/roles.json"))
  topics     = jsondecode(file("${local.folder}/topics.json"))
  principals = { for pool in local.access.pools : pool.pool => pool.principal... }
}

module "cluster" {
  source = "../cluster"

  name       = var.name
  governance = var.governance
  cluster    = var.cluster
  protected  = var.protected
}

module "pipeline" {
  source = "../pipeline"

  topics   = local.topics
  schemas  = "${local.folder}/../schemas"
  cluster  = module.cluster.cluster
  registry = module.cluster.registry
}

module "identity" {
  source = "../identity"

  name       = var.name
  issuer     = var.issuer
  principals = { for pool, names in local.principals : pool => names[0] }
}

module "access" {
  source = "../access"

  access   = local.access
  roles    = local.roles
  topics   = keys(local.topics)
  subjects = [for topic in values(local.topics) : topic.subject if topic.subject != null]
  pool_ids = module.identity.pool_ids
  cluster  = module.cluster.cluster
  registry = module.cluster.registry
}

module "automation" {
  source = "../automation"

  name           = var.name
  subject_prefix = "grocery."
  environment    = module.cluster.environment
  registry       = module.cluster.registry
  federation     = var.federation
  operator = {
    for what, grant in module.access.grants : what => { role = grant.role, crn = grant.crn }
    if grant.pool == "operator" && grant.resource != "subject"
  }
}

module "client" {
  source = "../client"

  name       = var.name
  principals = { for pool, names in local.principals : pool => names[0] }
  pool_ids   = module.identity.pool_ids
  # Terraform's own job asks no broker.
  builders = { for duty, id in module.automation.pool_ids : duty => id if duty != "terraform" }
  token    = var.token
  cluster  = module.cluster.cluster
  registry = module.cluster.registry
}
