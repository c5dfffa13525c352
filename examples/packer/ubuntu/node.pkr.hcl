# Ubuntu Server LTS as a node's image on Hyper-V: installed from its ISO, updated, with Docker and cloud-init.
# Written for Packer 1.6.6, where the builders are part of the program. README.md says how the bridge uses it.

variable "vm_name" {
  type = string
}

variable "output_directory" {
  type = string
}

variable "temp_directory" {
  type = string
}

variable "base_path" {
  type = string
}

variable "base_checksum" {
  type = string
}

variable "seed_path" {
  type = string
}

variable "build_key_path" {
  type = string
}

variable "switch_name" {
  type        = string
  description = "A switch with DHCP, and a way to the package archives."
}

variable "docker_version" {
  type        = string
  description = "RKE 1.2 takes no Docker newer than 20.10."
  default     = "5:20.10.24~3-0~ubuntu-jammy"
}

variable "disk_mb" {
  type    = string
  default = "40960"
}

source "hyperv-iso" "node" {
  vm_name          = var.vm_name
  output_directory = var.output_directory
  temp_path        = var.temp_directory
  iso_url          = var.base_path
  iso_checksum     = var.base_checksum

  generation         = 2
  enable_secure_boot = false
  cpus               = 2
  memory             = 4096
  disk_size          = var.disk_mb
  switch_name        = var.switch_name

  # The bridge writes this volume from the folder seed; no port of the host is opened.
  secondary_iso_images = [var.seed_path]
  boot_wait            = "5s"
  boot_command         = ["e<wait><down><down><down><end> autoinstall<f10>"]

  ssh_username         = "packer"
  ssh_private_key_file = var.build_key_path
  ssh_timeout          = "60m"

  # Whoever let Packer in goes as the last act.
  shutdown_command = "sudo sh -c 'userdel -rf packer; rm -f /etc/sudoers.d/*packer*; shutdown -P now'"
  shutdown_timeout = "10m"
  skip_compaction  = false
}

build {
  sources = ["source.hyperv-iso.node"]

  provisioner "shell" {
    execute_command  = "{{ .Vars }} sudo -E bash '{{ .Path }}'"
    environment_vars = ["DOCKER_VERSION=${var.docker_version}"]
    scripts = [
      "${path.root}/scripts/updates.sh",
      "${path.root}/scripts/docker.sh",
      "${path.root}/scripts/guest.sh",
      "${path.root}/scripts/clean.sh",
    ]
  }
}
