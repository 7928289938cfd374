"""Is learning through the text tower worth it, once every pair of sides has the same prior?"""
