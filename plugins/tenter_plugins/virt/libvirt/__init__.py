"""The libvirt virt driver: QEMU guests by KVM, or by emulation where there is none."""
