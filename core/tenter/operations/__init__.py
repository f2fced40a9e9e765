"""What is being done to instances: durable operations, and the runner that drives them."""
