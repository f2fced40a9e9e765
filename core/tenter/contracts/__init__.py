"""What a plugin of each kind must do: one module a kind. Importing this package costs next to nothing."""
