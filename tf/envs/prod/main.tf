# Production: several zones, and dedicated, because only a dedicated (or Enterprise) cluster can be at the receiving end of a
# cluster link, which is the way back after a failover (docs/recovery.md).

module "grocery" {
  source = "../../modules/grocery"

  name       = "grocery-prod"
  governance = "ADVANCED"
  cluster = {
    kind         = "dedicated"
    availability = "MULTI_ZONE"
    cloud        = var.cloud
    region       = var.region
    cku          = 2
  }
  protected = true

  issuer     = var.issuer
  token      = var.token
  federation = var.federation
}
