# The second region of production, with a state of its own: when the first is gone, nothing here may need it.

locals {
  folder = "${path.module}/../.."
}

module "recovery" {
  source = "../../modules/recovery"

  name      = "grocery-recovery"
  link_name = "grocery-recovery"
  cluster = {
    kind         = "dedicated"
    availability = "SINGLE_ZONE"
    cloud        = var.cloud
    region       = var.region
    cku          = 1
  }

  primary  = var.primary
  pool_ids = var.pool_ids
  topics   = jsondecode(file("${local.folder}/topics.json"))
  access   = jsondecode(file("${local.folder}/access.json"))
  roles    = jsondecode(file("${local.folder}/roles.json"))
  groups   = ["fulfillment-service-group"]
  token    = var.token
  keys     = var.keys

  mirror_status = var.mirror_status
  registry_mode = var.registry_mode
}
