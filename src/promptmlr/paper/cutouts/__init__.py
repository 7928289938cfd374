"""Cut-outs of photographs with COCO's annotations, from which `scenes.cutouts` makes scenes."""
