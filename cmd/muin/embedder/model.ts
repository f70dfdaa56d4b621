/** The model of which the embedder's embeddings are. */
export const embedderModelId = "face-api-1.7";

/**
 * What the embedder's embeddings have in common, whoever is in the picture: all lie to one side, strangers at a cosine of 0.8. It is the mean of the
 * embeddings of the 22 faces in the six pictures of groups that come with the package (`demo/sample1.jpg` to `sample6.jpg`); the test
 * computes it anew.
 */
const embedderMean =
  "wICRvfe9wT17W5Q9AJqnvXRe1L0YA7W8bZetvZpEz70Yfjc+UOu6vRrEMj6l9W69oEt6vkavRzxotK29KFE8PoZPOL5i4xa+XTijvZBUBL0ZqAQ9phgFPWOI8zw83aA9tAoDvtFKqL5OnUS9lRpmvRhAk7yM9Mu9cTI2PCT+oD3sdT6+clBbPCdy3TwlT8E9pG0PvSfo4b37thw+10t8PHyFhL4dTiO9JThFPf09hT7PDFo+LgQ+PHbwujwGsLm9evDUPUjvkb4ogds7rcwzPnF1Aj1Qykw9mrdNPeWbJ75V9dc8RVvrPTqLHr5siA48FR+zPQOoiL28i7W87d7bvUmYZD74Adc9t10ovsGJEL6XQRs+bwEmviLtLr0en5o9/qD2vf0kSL4cAZC+sXfsvEHqwD469AU+wAoWvmkzQj0iIYy99BWoPJVQBDvf6hM+T0Iavb7pQD3EoaW941S8PKTTRz72SBq99e7LO5+4fz73E9G8yerQvHigJbxYMIc9XhwBvk3yejzqrv+9FfErvBVsiTv4z4W8Q7AcPPpT9j0rwy2+Ik8nPsET07ytj8Y7PTuBPMHgwLu8EH29FMyNvQ2GHz5nU3q+9TgOPjbVKD6D+IU9fJcBPgfqhj3nJ8k9LGmbuooAtrw5ySW+LQFOvXzLlDwFq329+dC4O1EDjzw=";

/**
 * The model as it is registered. Its thresholds are for trying out, not from a calibration: less the mean, 21 pairs of pictures of one
 * person, half faces among them, have cosines of 0.68 to 1, and 231 pairs of two people at most 0.52.
 */
export const embedderModel = {
  model_id: embedderModelId,
  display_name: "dlib's recognition network, by face-api 1.7 (for trying out)",
  dimensions: 128,
  threshold: 0.6,
  margin: 0.05,
  duplicate_threshold: 0.65,
  mean: embedderMean,
} as const;
