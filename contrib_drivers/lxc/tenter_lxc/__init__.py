"""System containers for Tenter, through libvirt's LXC driver."""
